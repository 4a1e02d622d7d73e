"""Control tasks with a context, policies for many of them at once, and how well they transfer."""
