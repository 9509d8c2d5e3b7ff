"""Is a live person doing, now, what we asked?"""
