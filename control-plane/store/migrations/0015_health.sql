-- What each connected proxy last told of the endpoints it asks, for the other controllers on the same database.
create table observations (
    proxy text not null primary key,
    controller text not null,
    epoch bigint not null,
    sequence bigint not null,
    body bytea not null,
    told_at bigint not null
);
