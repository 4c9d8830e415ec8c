-- Providers. The platform's credential is a sealed blob that this database cannot open.
create table providers (
    id text not null primary key,
    name text not null,
    base_url text not null,
    dialects text not null,
    auth text not null,
    credential bytea,
    credential_version bigint not null,
    regions text not null,
    training boolean,
    retention_days bigint,
    zdr boolean,
    insecure boolean not null,
    enabled boolean not null,
    revision bigint not null
);
