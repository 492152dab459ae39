"""Expectations: pure judgements over a trace, one file a property."""
