-- Models, their endpoints, and every price list that ever applied (pico-USD per unit). Lists are JSON text.
create table models (
    id text not null primary key,
    name text not null,
    context_length bigint not null,
    max_output_tokens bigint,
    input_modalities text not null,
    output_modalities text not null,
    supported_parameters text not null,
    created bigint not null,
    revision bigint not null
);

create table endpoints (
    id text not null primary key,
    model_id text not null references models (id),
    provider_id text not null references providers (id),
    upstream_model text not null,
    context_length bigint,
    max_output_tokens bigint,
    quirks text not null,
    enabled boolean not null,
    price_version bigint not null,
    revision bigint not null
);

create index endpoints_by_model on endpoints (model_id);
create index endpoints_by_provider on endpoints (provider_id);

-- Written once, never changed: a usage record names its version for ever, even when the endpoint is gone.
create table prices (
    endpoint_id text not null,
    version bigint not null,
    written_at bigint not null,
    source text not null,
    source_date text not null,
    prompt bigint,
    completion bigint,
    cache_read bigint,
    cache_write bigint,
    cache_write_1h bigint,
    reasoning bigint,
    audio_input bigint,
    audio_output bigint,
    image bigint,
    request bigint,
    web_search bigint,
    video_second bigint,
    megapixel bigint,
    character bigint,
    primary key (endpoint_id, version)
);
