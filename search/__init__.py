"""What to try next, and how a study is run, logged and resumed."""
