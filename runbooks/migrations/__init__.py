"""What can be thought about golang-migrate's migrations, whatever runbook needs it. Pure, as all of `runbooks`.

files.py       which versions there are, what comes before and after one, and their digests
statements.py  one file, taken apart into its statements
locks.py       the ids of golang-migrate's advisory locks
catalog.py     what a database consists of, as a value that can be compared
readings.py    what a scratch database went through while one file ran in it

judging.py     which of those states the live database is in, of all files that may have failed
fitting.py     where in one file it can have stopped

repair.py      the way back, tried on scratch, and what is refused of it
inverse.py     the SQL that leads from one catalog back to another, or why there is none. Its parts:
    inverse_change.py  what came, went and became another; inverse_names.py what rests on what
    inverse_drops.py   what came goes again; inverse_makes.py what went comes again
    inverse_sets.py    properties are set back; inverse_acl.py owners and privileges
    inverse_refuse.py  what is not taken back, and why
"""
