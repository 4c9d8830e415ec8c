-- One row per finished request. No prompt, no answer, no secret.
create table usage (
    proxy text not null,
    epoch bigint not null,
    sequence bigint not null,
    recorded_at bigint not null,
    request_id text not null,
    org_id text not null,
    key_id text not null,
    budget text,
    billing text not null,
    plan text not null,
    requested_model text not null,
    model text,
    provider text,
    endpoint text,
    dialect_in text not null,
    dialect_out text not null,
    attempt bigint not null,
    upstream_id text not null,
    prompt bigint not null,
    cache_read bigint not null,
    cache_write bigint not null,
    cache_write_1h bigint not null,
    completion bigint not null,
    reasoning bigint not null,
    audio_input bigint not null,
    audio_output bigint not null,
    images bigint not null,
    web_searches bigint not null,
    usage_source text not null,
    cost bigint not null,
    held bigint not null,
    written_off bigint not null,
    price_version bigint not null,
    is_byok boolean not null,
    outcome text not null,
    finish_reason text not null,
    status bigint not null,
    streamed boolean not null,
    started_at bigint not null,
    latency_ms bigint not null,
    ttft_ms bigint,
    primary key (proxy, epoch, sequence)
);

create index usage_by_org on usage (org_id, started_at, request_id);
create index usage_by_key on usage (key_id, started_at, request_id);
create index usage_by_request on usage (request_id);
create index usage_by_upstream on usage (org_id, upstream_id, started_at) where upstream_id <> '';

-- Sums per key and day of UTC (days since 1970), kept when the rows above are not.
create table usage_days (
    key_id text not null,
    day bigint not null,
    org_id text not null,
    requests bigint not null,
    cost bigint not null,
    primary key (key_id, day)
);
