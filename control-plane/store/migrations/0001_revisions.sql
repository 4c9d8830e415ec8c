-- The installation, its one counter of revisions, what changed at each, and who did it.
create table installation (
    one bigint not null primary key check (one = 1),
    id text not null,
    created_at bigint not null
);

create table revisions (
    one bigint not null primary key check (one = 1),
    head bigint not null
);

insert into revisions (one, head) values (1, 0);

create table changes (
    revision bigint not null,
    kind text not null,
    name text not null,
    urgent boolean not null,
    removed boolean not null,
    primary key (revision, kind, name)
);

create table audit (
    revision bigint not null,
    line bigint not null,
    at bigint not null,
    actor text not null,
    org_id text,
    action text not null,
    target text not null,
    detail text not null,
    primary key (revision, line)
);

create index audit_by_org on audit (org_id, revision, line);
