"""Writing: what stands behind `skald.Logger`, between a log call and the engine and record.

In the order in which a call meets them:

    calls, scope               the functions that a logger hands out, and the ids that it adds to their calls
    session, starting          what a process keeps open of a run, shared by its loggers; how that begins
    opening, refusals          what each mode does with what is there, and what no mode may touch
    ending                     what an exception says of the status, and steps that a Ctrl-C does not leave half done
    scratch                    the run of a disabled logger
    process, copies, inflight  forks and exits; loggers that were pickled; calls that a close waits for
    losses, lastword           what was not kept, and what the run says of all that when it is closed
    rewinding                  going back to a checkpoint
    histogram, artifact_calls  values as counts of bins; files, texts, figures, images, tables
    progress, board            loops that are followed, and where they are shown
    system                     metrics of the machine, from a thread
    viewing                    the viewer that opens as the block ends
"""

from __future__ import annotations
