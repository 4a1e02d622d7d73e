"""What a study is, as stored: its identity, its trials, its objectives and limits."""
