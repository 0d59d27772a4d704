"""telephonegan: the broken telephone between a captioner and a generator."""
