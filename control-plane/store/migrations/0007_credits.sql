-- The ledger: append-only double entry in nano-USD. A balance is a cache of it.

-- One row per organisation: what a ledger write locks, and the head of the organisation's hash chain.
create table books (
    org_id text not null primary key references orgs (id),
    entries bigint not null,
    head bytea not null
);

-- Idempotency keys that were used.
create table postings (
    idempotency_key text not null primary key,
    actor text not null,
    at bigint not null
);

create table entries (
    id text not null primary key,
    org_id text not null references orgs (id),
    sequence bigint not null,
    kind text not null,
    idempotency_key text references postings (idempotency_key),
    actor text not null,
    at bigint not null,
    note text not null,
    prev_hash bytea not null,
    hash bytea not null,
    unique (org_id, sequence)
);

create index entries_by_key on entries (idempotency_key) where idempotency_key is not null;

create table legs (
    entry_id text not null references entries (id),
    line bigint not null,
    account text not null,
    amount bigint not null,
    primary key (entry_id, line)
);

create table balances (
    account text not null primary key,
    org_id text references orgs (id),
    amount bigint not null
);

create index balances_by_org on balances (org_id);
