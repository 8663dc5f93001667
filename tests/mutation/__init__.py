"""Whether the tests notice when the evaluator is changed."""
