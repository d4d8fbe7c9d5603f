"""
Assignment fetch: Optimove's list of an execution is stored as rows, in these steps.

1. `collect` calls Optimove for the next page of a list (`fetch_runs`), or for the
   waiting customers of a triggered execution (`triggered_lookup`).
2. `ingest` stores the response in one transaction. It locks the execution, then its
   `Collection`, then rows in the order of their keys.
3. `evaluation` decides the state and the reason of each row. It changes no assignment.
4. `ingest` inserts new rows. `changes` updates rows that were listed before.
5. After a page, `fetch_runs` advances the run. After a look-up, `triggered_lookup`
   marks its customers as listed, schedules their next look-up, or requests a review.
   `lookup_failures` decides which customers wait after a look-up that failed.
6. At the end of a run or a look-up, `rewards.limits` checks the execution's limits. It
   clears the rows, or stops the execution until staff resume it.
"""
