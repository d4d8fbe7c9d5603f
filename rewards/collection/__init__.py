"""
From Optimove's list to rows, in one direction.

1. `collect` selects a query and calls Optimove: the next page of a list (`fetch_runs`),
   or all customers of a triggered execution who wait (`triggered_lookup`).
2. `ingest` stores the answer in one transaction. It locks the execution, then its
   collection, then rows in the order of their keys.
3. `evaluation` decides what becomes of each row; it changes nothing.
4. `changes` applies it to rows that were listed before. New rows are inserted.
5. What the answer settles is recorded by the module that asked: `fetch_runs` moves its
   run on, `triggered_lookup` concludes its customers.
6. At the end of a run or a look-up, `rewards.limits` releases the rows, or holds the
   execution.
"""
