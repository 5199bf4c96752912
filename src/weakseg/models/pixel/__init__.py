"""Networks that are trained on masks: a logit for every pixel and every class."""
