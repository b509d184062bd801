"""Reports of a benchmark run: terminal, Markdown, page, pictures, and two runs beside each other."""
