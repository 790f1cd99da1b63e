interface CacheOperationOptions {
    signal?: AbortSignal | undefined;
}
interface CertCache {
    get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined>;
    put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void>;
    delete(key: string, options?: CacheOperationOptions): Promise<void>;
}
interface LockingCertCache extends CertCache {
    tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined>;
}
interface CertCacheLock {
    readonly signal: AbortSignal;
    release(): Promise<void>;
}
interface CertCacheEntry {
    readonly name: string;
    readonly size: number;
    readonly modified: Date;
}
interface ListableCertCache extends CertCache {
    list(options?: CacheOperationOptions): AsyncIterable<CertCacheEntry>;
}
declare function assertCacheKey(key: string): void;
export { assertCacheKey };
export type { CacheOperationOptions, CertCache, CertCacheEntry, CertCacheLock, ListableCertCache, LockingCertCache };
