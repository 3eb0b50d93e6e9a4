"""The assets of a feed: thin, each calls one function of the modules beside this folder.

What belongs here: what Dagster is told. What does not: what is done with the data. Dagster
documentation: "Defining assets", "External assets", "Partitioning assets".
"""
