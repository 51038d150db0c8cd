"""The engine: metrics on their way from a log call to `metrics.parquet`, and back. It knows nothing of experiments.

Down, in the order in which a row meets them:

    functions, source        the generated log functions, which store into the active segment
    writer, streams          what they fall back on: streams of segments, and their rolls
    batch, filled            whole columns at once
    open_segments            the segments of a writer, and their files: made, flushed, synced, sealed
    newest                   the newest value of each metric, out of the segments' memory
    pending                  rows whose value an accelerator has not produced yet
    registry, claim          what writers agree on, and how they tell who is alive:
    lock, mark               by locks, and by files beside them where locks do not reach
    segment, dictionary      the active segment's memory, filled in place
    blueprint                its bytes: a complete Arrow IPC file
    storage, staged          how they reach the disk: mapped, or written every half second
    compaction, rewrite      sealed segments into the metrics file,
    feeds, merge, sinks, ... read in windows, brought into log order, written
    tally, statistics        what is noted of them meanwhile: counts, times, the summary of each series
    coverage, series         what a metrics file says it holds,
    footer, stored           where it says so, and how it is opened
    arrays                   NumPy's arrays as Arrow's, and back
    checksum                 by which any byte that changed is seen
    rewind, takeback         the rule of which rows a rewind takes back, and how it is put down
    standing                 the rewinds that are not compacted yet
    salvage, looserows       what is left of a metrics file that is damaged, be it a csv
    mending                  and of a segment

Up:

    segmentfile, extraction  a segment read while it changes
    count                    how many rows there are, without a look at them
    rows, columns, order     what was read, and the log order of several streams
    snapshot                 segments and metrics file as of one moment
    closed                   the metrics file of a run without segments, remembered
    reader                   all of that as one LazyFrame
    summing                  the summary of each series, of rows in segments without a table of them
    follower                 what came in since the last look
"""

from __future__ import annotations
