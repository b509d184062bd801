"""Reports of a benchmark run: on the terminal, as Markdown, as a page, as pictures, and beside an older run."""
