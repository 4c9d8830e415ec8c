-- Organisations: who pays.
create table orgs (
    id text not null primary key,
    slug text unique,
    name text not null,
    billing text not null,
    plan text not null,
    frozen boolean not null,
    created_at bigint not null,
    revision bigint not null
);
