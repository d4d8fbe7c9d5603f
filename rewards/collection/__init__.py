"""
Fetch Optimove's list of an execution and store it as rows. The data flows in one way.

1. `collect` selects a query and calls Optimove: the next page of a list (`fetch_runs`),
   or the waiting customers of a triggered execution (`triggered_lookup`).
2. `ingest` stores the answer in one transaction. It locks the execution, then its
   collection, then rows in the order of their keys.
3. `evaluation` decides the state and the reason of each row. It changes nothing.
4. `ingest` inserts new rows; `changes` updates rows that were listed before.
5. The module that made the call records its result: `fetch_runs` advances the run, and
   `triggered_lookup` marks its customers as listed or sets their next look-up.
6. At the end of a run or a look-up, `rewards.limits` releases the rows or holds the
   execution.
"""
