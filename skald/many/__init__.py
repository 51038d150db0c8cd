"""Many runs: what stands behind `skald.scan` and `skald.runs`.

finding                which runs a source means, and what each is called
scanning, union        their rows as one lazy table, of one scan over all files
pushdown, cloud        conditions that choose runs before a file is opened; runs in a cloud store
overview               a table with a row a run,
card, cardcache        made of what few files say of each run, kept from one look to the next
seriescolumns          with columns of metrics
paramtable             and of params
"""

from __future__ import annotations
