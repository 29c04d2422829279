# Tests of what the kernel adds to the rooms below it.
HOST_TESTS += line
line_SOURCES := lib/line.c lib/text.c
