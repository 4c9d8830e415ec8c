-- Connected proxies: which controller holds the stream, and what the proxy has applied.
create table fleet (
    proxy text not null primary key,
    controller text not null,
    epoch bigint not null,
    connected_since bigint not null,
    revision bigint not null,
    refused text not null,
    build text not null,
    region text not null,
    last_seen bigint not null
);

-- Work that one controller does for all, until a time: whoever holds the row.
create table claims (
    name text not null primary key,
    holder text not null,
    since bigint not null,
    holds_until bigint not null
);
