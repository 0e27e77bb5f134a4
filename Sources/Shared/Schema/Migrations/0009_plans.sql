-- Functions whose plans, made while a table was small, read all of it when it is large: right, and slow for as long as
-- the session keeps the plan.

-- Found its fresh keys by a bitmap of everything in the key space; an index scan looks each key up.
alter function evergrant.enqueue_keyed(
    smallint, bytea[], int, smallint, int, jsonb[], timestamptz, smallint, text) set enable_bitmapscan = off;

-- Read and sorted all waiting jobs to find the next key; jobs_parked_turn has them in order.
alter function evergrant.claim_parked(bigint, int, text) set enable_bitmapscan = off;
alter function evergrant.claim_parked(bigint, int, text) set enable_sort = off;
