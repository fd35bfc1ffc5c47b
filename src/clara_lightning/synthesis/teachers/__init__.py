"""Who can be the teacher: rules, an endpoint, or a model in this process."""
