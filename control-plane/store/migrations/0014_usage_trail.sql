-- How the request found its endpoint, as JSON; empty where it is not known. No word of a provider or of a prompt.
alter table usage add column trail text not null default '';
