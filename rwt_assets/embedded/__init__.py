"""Everything on this machine: an S3 and SQS server, the webserver, the daemon, sample archives.

A dagster.yaml names modules of this room, so this file imports none of them.
"""
