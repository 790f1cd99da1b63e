import { LockingCertCache, ListableCertCache, CacheOperationOptions, CertCacheEntry, CertCacheLock } from "../index.js";
interface S3ClientLike {
    send(command: never, options?: {
        abortSignal?: AbortSignal;
    }): Promise<unknown>;
}
declare const encryptions: readonly [
    "AES256",
    "aws:kms",
    "none"
];
type ServerSideEncryption = (typeof encryptions)[number];
interface S3CertCacheOptions {
    prefix?: string;
    serverSideEncryption?: ServerSideEncryption;
    timeoutMs?: number;
}
declare class S3CertCache implements LockingCertCache, ListableCertCache {
    #private;
    constructor(client: S3ClientLike, bucket: string, options?: S3CertCacheOptions);
    get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined>;
    put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void>;
    delete(key: string, options?: CacheOperationOptions): Promise<void>;
    list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry>;
    tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined>;
}
export { S3CertCache };
export type { S3CertCacheOptions, S3ClientLike, ServerSideEncryption };
