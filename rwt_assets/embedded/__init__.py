"""Everything on this machine: an S3 and SQS server, the webserver, the daemon, sample archives.

What belongs here: what `rwt up` and `rwt demo` start. What does not: anything that a
deployment on AWS needs; nothing outside this folder and `cli.py` imports it.
"""
