import { LockingCertCache, ListableCertCache, CacheOperationOptions, CertCacheEntry, CertCacheLock } from "../index.js";
interface MysqlConnection {
    execute(statement: {
        sql: string;
        values: any;
        rowsAsArray: false;
        nestTables: false;
    }): Promise<[
        any,
        any
    ]>;
}
interface MysqlPool extends MysqlConnection {
    getConnection(): Promise<MysqlConnection & {
        release(): void;
        destroy(): void;
    }>;
}
interface PostgresConnection {
    query(text: string, values: any[]): Promise<{
        rows: any[];
        rowCount: number | null;
    }>;
}
interface PostgresPool extends PostgresConnection {
    readonly totalCount: number;
    connect(): Promise<PostgresConnection & {
        release(destroy?: boolean): void;
        on(event: "error", listener: () => void): unknown;
        off(event: "error", listener: () => void): unknown;
    }>;
}
interface SqliteDatabase {
    exec(sql: string): unknown;
    prepare(sql: string): {
        all(...values: any[]): unknown[];
        run(...values: any[]): {
            changes: number | bigint;
        };
    };
}
type SqlDatabase = PostgresPool | PostgresConnection | MysqlPool | MysqlConnection | SqliteDatabase;
interface SqlCertCacheOptions {
    table?: string;
    timeoutMs?: number;
}
declare class SqlCertCache implements LockingCertCache, ListableCertCache {
    #private;
    constructor(database: SqlDatabase, options?: SqlCertCacheOptions);
    createTables(options?: CacheOperationOptions): Promise<void>;
    get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined>;
    put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void>;
    delete(key: string, options?: CacheOperationOptions): Promise<void>;
    list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry>;
    tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined>;
}
export { SqlCertCache };
export type { MysqlConnection, MysqlPool, PostgresConnection, PostgresPool, SqlCertCacheOptions, SqlDatabase, SqliteDatabase };
