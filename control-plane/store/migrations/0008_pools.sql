-- What is lent to proxies. Totals are cumulative and in nano-USD; remaining = granted - returned - settled.
create table leases (
    pool text not null,
    proxy text not null,
    epoch bigint not null,
    org_id text not null references orgs (id),
    granted_total bigint not null,
    returned_total bigint not null,
    settled_total bigint not null,
    last_sequence bigint not null,
    typical bigint not null,
    direct boolean not null,
    recall_keep bigint,
    recalled_at bigint not null,
    opened_at bigint not null,
    state text not null,
    primary key (pool, proxy, epoch)
);

create index leases_open on leases (proxy, epoch) where state <> 'closed';

-- A key's budget in one period. The amount itself is the key's, so that a changed limit applies at once.
create table budgets (
    pool text not null primary key,
    org_id text not null references orgs (id),
    key_id text not null references keys (id),
    period bigint not null,
    settled bigint not null,
    leased bigint not null,
    quarantined bigint not null
);

-- One row per life of a proxy: up to where its records are booked, and when it was last heard of.
create table marks (
    proxy text not null,
    epoch bigint not null,
    last_sequence bigint not null,
    digest bytea not null,
    drained boolean not null,
    pruned bigint not null,
    renewed_at bigint not null,
    primary key (proxy, epoch)
);

-- When each controller was last alive, so that its absence does not count against leases.
create table controllers (
    id text not null primary key,
    seen_at bigint not null
);
