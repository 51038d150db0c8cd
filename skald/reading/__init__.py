"""Reading: what stands behind `skald.Run`: one table of rows, and the views of it.

groups                 what is wanted of each group of rows that are read in batches
selection              which columns are ids, which rows have the ids asked for
summary                a row a series
widening               a column a metric
axis                   which series there are, and what they are drawn over
curves, sketch         the course of series over an x, cut into the columns of a picture
heatmap                histograms over an x
comparison             where runs part
artifact_table         the files of a run
portrait               what a run looks like in a REPL and in a notebook
"""

from __future__ import annotations
