"""The workshop: the attendee's place, exercises, quizzes, notebooks, the demonstration.

Runs in a notebook or a terminal. Uses show and what is below it.
"""
