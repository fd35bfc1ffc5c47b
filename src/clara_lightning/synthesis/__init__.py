"""SCP supervision from documents: a teacher asks, answers, checks and rewords (paper, section 3.1)."""
