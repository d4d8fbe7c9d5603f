"""
A state model of the engine, of which every run within bounds is explored.

A run begins before the portal fetches Optimove's list for the first time. Then the
portal, Optimove, the platform, staff and faults take steps in every possible order.
`search` looks for the shortest run that breaks a guarantee of `properties`. The steps
are in `optimove_steps`, `activation_steps`, `resolution_steps`, `staff_steps` and
`failures`. Each function names the function of the engine that it stands for. The
outcome policy, the states, the reasons and `NEEDS_CONFIRMATION` come from the engine.

Bounds: one or two rewards of one execution, and two workers at most. A run has a number
of faults, changes and decisions that `Bounds` sets. Everything else happens as often as
it can. These disturbances are limited:

- Faults: a response is lost or invalid, the platform refuses, a gateway answers with
  503, a worker is killed or slow, a deadline passes, the clock of the database is set
  forward or back, a backup is restored, the platform becomes idempotent.
- Changes by Optimove: another reward, another owner, cancelled, an unknown status,
  assigned again, the execution cancelled.
- Decisions of staff: retry, approve, mark as activated or not activated, write off,
  pause, resume. One of two members of staff may decide about an old page.

The model assumes what docs/guarantees.md assumes. A request arrives before the grace
period ends, or never. Staff look into the platform's records when they open a page, and
say the truth. No clock is set forward after a request got no response. In addition, a
backup is not restored in a run in which the platform changes its capability, and at
most once in each run. A reward that may be activated is sent again with the same order,
even if Optimove lists another one now.

The model leaves out: the waits between attempts, counts of crashes and of invalid
responses, pages of a list, duplicates, second approvals, and redemptions.
"""
