-- Admin tokens of organisations: what is stored of them, never the text.
create table tokens (
    id text not null primary key,
    org_id text not null references orgs (id),
    name text not null,
    role text not null,
    digest bytea not null unique,
    hint text not null,
    created_at bigint not null,
    revoked_at bigint
);

create index tokens_by_org on tokens (org_id, id);
