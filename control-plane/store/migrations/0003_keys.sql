-- API keys: what is stored of them (never the text) and what they may do. Amounts in nano-USD.
create table keys (
    id text not null primary key,
    org_id text not null references orgs (id),
    name text not null,
    digest bytea not null unique,
    hint text not null,
    budget_nano bigint,
    budget_reset text,
    requests_per_minute bigint,
    requests_burst bigint,
    tokens_per_minute bigint,
    tokens_burst bigint,
    allow_models text not null,
    unknown_restrictions bigint not null,
    expires_at bigint,
    disabled boolean not null,
    revoked_at bigint,
    created_at bigint not null,
    revision bigint not null
);

create index keys_by_org on keys (org_id, id);
