-- What was written in the ledger stays as it was written.
create trigger entries_keep before update on entries begin select raise(abort, 'the ledger is append-only'); end;
create trigger entries_stay before delete on entries begin select raise(abort, 'the ledger is append-only'); end;
create trigger legs_keep before update on legs begin select raise(abort, 'the ledger is append-only'); end;
create trigger legs_stay before delete on legs begin select raise(abort, 'the ledger is append-only'); end;
create trigger prices_keep before update on prices begin select raise(abort, 'price lists are never changed'); end;
