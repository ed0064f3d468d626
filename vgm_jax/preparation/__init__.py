"""From raw footage to data sets: collecting it, so far."""
