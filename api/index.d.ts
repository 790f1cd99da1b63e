import { Agent, IncomingMessage, ServerResponse } from "node:http";
import { CertCache, LockingCertCache, ListableCertCache, CacheOperationOptions, CertCacheLock, CertCacheEntry } from "./shared/cert-cache.js";
export { assertCacheKey } from "./shared/cert-cache.js";
import { KeyObject } from "node:crypto";
import { EventEmitter } from "node:events";
import { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { SecureContext, Server } from "node:tls";
type ChallengeType = "http-01" | "tls-alpn-01";
interface AcmeOptions {
    termsOfServiceAgreed: true;
    email?: string;
    directoryUrl?: string;
    externalAccountBinding?: {
        kid: string;
        hmacKey: string;
    };
    preferredChain?: string;
    profile?: string;
    ca?: string | Buffer;
    agent?: Agent;
    keyPrefix?: string;
}
interface EncryptionKey {
    readonly id: string;
    readonly key: Uint8Array | KeyObject;
}
interface EncryptionKeys {
    readonly current: EncryptionKey;
    readonly previous?: readonly EncryptionKey[];
}
interface EncryptedCertCacheOptions {
    readonly keys: EncryptionKeys;
    readonly readPlaintext?: boolean;
}
declare class EncryptedCertCache implements CertCache {
    #private;
    readonly tryLock?: LockingCertCache["tryLock"];
    readonly list?: ListableCertCache["list"];
    constructor(store: CertCache, options: EncryptedCertCacheOptions);
    get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined>;
    put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void>;
    delete(key: string, options?: CacheOperationOptions): Promise<void>;
}
interface Clock {
    now(): number;
    after(ms: number, fn: () => void, options?: {
        keepAlive?: boolean;
    }): () => void;
}
interface LruCertCacheOptions {
    max?: number;
    onPutFailed?: (failure: {
        key: string;
        error: Error;
        retryInMs: number;
    }) => void;
    clock?: Clock;
}
interface GetOrPutOptions extends CacheOperationOptions {
    accept?: (data: Uint8Array) => boolean;
    beforeLock?: () => Promise<unknown>;
}
type Produce = (lock?: Pick<CertCacheLock, "signal">) => Promise<Uint8Array>;
declare class LruCertCache implements CertCache {
    #private;
    constructor(store: CertCache, options?: LruCertCacheOptions);
    peek(key: string): Uint8Array | undefined;
    values(): IterableIterator<Uint8Array>;
    get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined>;
    refresh(key: string, { accept, signal }?: Pick<GetOrPutOptions, "accept" | "signal">): Promise<void>;
    put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void>;
    delete(key: string, options?: CacheOperationOptions): Promise<void>;
    getOrPut(key: string, produce: Produce, { accept, beforeLock, signal }?: GetOrPutOptions): Promise<Uint8Array>;
    close(): Promise<void>;
}
type StoreOperation = "get" | "put" | "delete" | "lock" | "unlock";
type KeyType = "ecdsa-p256" | "rsa-2048";
interface CertificateBundle {
    readonly key: string;
    readonly chain: string;
}
declare class Certificate {
    #private;
    readonly host: string;
    readonly serialNumber: string;
    readonly notBefore: Date;
    readonly notAfter: Date;
    constructor(host: string, serialNumber: string, notBefore: Date, notAfter: Date, bundle: CertificateBundle);
    get cert(): string;
    get key(): string;
}
type RenewAtSource = "ari" | "renewBeforeMs" | "lifetime";
type CertificateSource = "memory" | "store" | "acme";
type StoreErrorCode = "ERR_STORE_CREDENTIALS" | "ERR_STORE_PERMISSION" | "ERR_STORE_CONTAINER" | "ERR_STORE_UNREACHABLE" | "ERR_STORE_TIMEOUT" | "ERR_STORE_PUBLIC" | "ERR_STORE_DECRYPT" | "ERR_STORE_ENTRY" | "ERR_STORE_FAILED";
type HostErrorCode = "ERR_HOST_NAME" | "ERR_HOST_POLICY" | "ERR_HOST_POLICY_FAILED";
type IssuanceErrorCode = "ERR_ISSUANCE_FAILED" | "ERR_ISSUANCE_POSTPONED" | "ERR_ACME_PROFILE";
declare abstract class CertCacheError extends Error {
    abstract readonly code: string;
    constructor(message: string, options?: ErrorOptions);
}
declare class CacheKeyError extends CertCacheError {
    readonly code = "ERR_CACHE_KEY";
}
declare class StoreError extends CertCacheError {
    readonly code: StoreErrorCode;
    constructor(code: StoreErrorCode, message: string, options?: ErrorOptions & {
        statusCode?: number | undefined;
    });
    readonly statusCode?: number;
}
declare class HostError extends CertCacheError {
    readonly code: HostErrorCode;
    readonly host: string;
    constructor(code: HostErrorCode, host: string, message: string, options?: ErrorOptions);
}
interface AcmeProblem {
    readonly type: string;
    readonly detail?: string;
    readonly status?: number;
    readonly subproblems?: readonly Omit<AcmeProblem, "subproblems">[];
}
declare class IssuanceError extends CertCacheError {
    readonly code: IssuanceErrorCode;
    constructor(code: IssuanceErrorCode, message: string, options?: ErrorOptions & {
        problem?: AcmeProblem | undefined;
        retryAt?: Date | undefined;
    });
    readonly problem?: AcmeProblem;
    readonly retryAt?: Date;
}
declare class DeadlineError extends CertCacheError {
    readonly code = "ERR_DEADLINE";
}
declare class LockLostError extends CertCacheError {
    readonly code = "ERR_LOCK_LOST";
}
declare class ClosedError extends CertCacheError {
    readonly code = "ERR_CLOSED";
}
interface AnsweredChallenge {
    readonly type: ChallengeType;
    readonly host: string;
    readonly from: "memory" | "store";
}
type HttpFallback<Request = IncomingMessage, Response = ServerResponse> = (req: Request, res: Response) => void;
type HttpHandler<Request = IncomingMessage, Response = ServerResponse> = (req: Request, res: Response, next?: (error?: unknown) => void) => void;
interface HttpHandlerOptions {
    redirectStatus?: 301 | 302 | 303 | 307 | 308;
    httpsPort?: number;
    trustedProxies?: readonly string[];
}
interface ContextOptions {
    readonly ca?: string | Buffer | (string | Buffer)[];
    readonly crl?: string | Buffer | (string | Buffer)[];
    readonly certificateCompression?: ("zlib" | "brotli" | "zstd")[];
}
interface TlsCallbackOptions extends ContextOptions {
    readonly ALPNProtocols?: readonly string[];
}
interface TlsCallbacks extends ContextOptions {
    sessionIdContext: string;
    SNICallback(servername: string, callback: (error: Error | null, context?: SecureContext) => void): void;
    ALPNCallback(offer: {
        servername: string;
        protocols: string[];
    }): string | undefined;
}
interface CertificateEvent {
    readonly host: string;
    readonly serialNumber: string;
    readonly notAfter: Date;
}
interface CertManagerEvents {
    served: [
        {
            host: string;
            source: CertificateSource;
            durationMs: number;
        }
    ];
    refused: [
        {
            servername: string;
            reason: "name" | "policy" | "rate";
        }
    ];
    handshakeFailed: [
        {
            host: string;
            error: Error;
        }
    ];
    loaded: [
        CertificateEvent
    ];
    adopted: [
        CertificateEvent
    ];
    issued: [
        CertificateEvent & {
            durationMs: number;
        }
    ];
    renewed: [
        CertificateEvent & {
            durationMs: number;
        }
    ];
    issuanceFailed: [
        {
            host: string;
            error: Error;
        }
    ];
    renewalFailed: [
        {
            host: string;
            error: Error;
        }
    ];
    invalid: [
        {
            host: string;
            key: string;
            reason: string;
        }
    ];
    storeFailed: [
        {
            operation: StoreOperation;
            key: string;
            error: Error;
        }
    ];
    challengeAnswered: [
        AnsweredChallenge
    ];
}
interface HostPolicyOccasion {
    readonly reason: "handshake" | "challenge" | "renewal" | "ensure";
    readonly remoteAddress?: string;
}
type HostPolicy = readonly string[] | ((host: string, occasion: HostPolicyOccasion) => boolean | Promise<boolean>);
interface HostStatus {
    readonly host: string;
    readonly source?: "store" | "acme";
    readonly notAfter?: Date;
    readonly renewAt?: Date;
    readonly renewAtSource?: RenewAtSource;
    readonly lastError?: Error;
}
interface CertManagerOptions {
    cache: CertCache;
    hostPolicy: HostPolicy;
    acme: AcmeOptions;
    memory?: {
        max?: number;
    };
    keyType?: KeyType;
    renewBeforeMs?: number;
    defaultHost?: string;
    sessionTickets?: boolean | {
        secret: string | Uint8Array;
    };
    clock?: Clock;
}
interface CertManager {
    on<E extends keyof CertManagerEvents>(event: E, listener: (...args: CertManagerEvents[E]) => void): this;
    once<E extends keyof CertManagerEvents>(event: E, listener: (...args: CertManagerEvents[E]) => void): this;
    off<E extends keyof CertManagerEvents>(event: E, listener: (...args: CertManagerEvents[E]) => void): this;
    addListener<E extends keyof CertManagerEvents>(event: E, listener: (...args: CertManagerEvents[E]) => void): this;
    removeListener<E extends keyof CertManagerEvents>(event: E, listener: (...args: CertManagerEvents[E]) => void): this;
    prependListener<E extends keyof CertManagerEvents>(event: E, listener: (...args: CertManagerEvents[E]) => void): this;
    prependOnceListener<E extends keyof CertManagerEvents>(event: E, listener: (...args: CertManagerEvents[E]) => void): this;
    removeAllListeners(event?: keyof CertManagerEvents): this;
    listeners<E extends keyof CertManagerEvents>(event: E): ((...args: CertManagerEvents[E]) => void)[];
    rawListeners<E extends keyof CertManagerEvents>(event: E): ((...args: CertManagerEvents[E]) => void)[];
    listenerCount<E extends keyof CertManagerEvents>(event: E, listener?: (...args: CertManagerEvents[E]) => void): number;
    emit<E extends keyof CertManagerEvents>(event: E, ...args: CertManagerEvents[E]): boolean;
    eventNames(): (keyof CertManagerEvents)[];
}
declare class CertManager extends EventEmitter {
    #private;
    constructor(options: CertManagerOptions);
    tlsOptions(options?: TlsCallbackOptions): TlsCallbacks;
    httpHandler(fallback?: undefined, options?: HttpHandlerOptions): HttpHandler<IncomingMessage | Http2ServerRequest, ServerResponse | Http2ServerResponse>;
    httpHandler(fallback: HttpFallback | undefined, options?: HttpHandlerOptions): HttpHandler;
    httpHandler(fallback: HttpFallback<Http2ServerRequest, Http2ServerResponse>, options?: HttpHandlerOptions): HttpHandler<Http2ServerRequest, Http2ServerResponse>;
    getCertificate(host: string): Promise<Certificate>;
    ensure(hosts: Iterable<string>): Promise<void>;
    attach(server: Server): void;
    status(): HostStatus[];
    close(): Promise<void>;
    [Symbol.asyncDispose](): Promise<void>;
}
interface BlobContainerClient {
    readonly containerName: string;
    getBlockBlobClient(name: string): LeasableBlob & {
        download(offset?: number, count?: number, options?: {
            abortSignal?: AbortSignal;
        }): Promise<{
            readableStreamBody?: NodeJS.ReadableStream;
            contentLength?: number;
        }>;
    };
    listBlobsFlat(options?: {
        prefix?: string;
        abortSignal?: AbortSignal;
    }): {
        byPage(settings?: {
            continuationToken?: string;
            maxPageSize?: number;
        }): AsyncIterableIterator<ListedPage>;
    };
}
interface ListedPage {
    readonly continuationToken?: string;
    readonly segment: {
        readonly blobItems: readonly {
            readonly name: string;
            readonly properties: {
                readonly contentLength?: number;
                readonly lastModified: Date;
            };
        }[];
    };
}
interface LeasableBlob {
    upload(body: Uint8Array, length: number, options?: {
        abortSignal?: AbortSignal;
        blobHTTPHeaders?: {
            blobContentType?: string;
        };
        conditions?: {
            ifNoneMatch?: string;
        };
    }): Promise<unknown>;
    delete(options?: {
        abortSignal?: AbortSignal;
        conditions?: {
            leaseId?: string;
        };
    }): Promise<unknown>;
    getBlobLeaseClient(proposedLeaseId?: string): {
        acquireLease(duration: number, options?: {
            abortSignal?: AbortSignal;
        }): Promise<unknown>;
        renewLease(options?: {
            abortSignal?: AbortSignal;
        }): Promise<unknown>;
    };
}
interface AzureBlobCertCacheOptions {
    prefix?: string;
    timeoutMs?: number;
}
interface TokenCredential {
    getToken(scopes: string | string[], options?: {
        abortSignal?: AbortSignal;
    }): Promise<{
        token: string;
        expiresOnTimestamp: number;
    } | null>;
}
interface AzureConnectOptions extends AzureBlobCertCacheOptions {
    containerName: string;
    accountName?: string | undefined;
    accountKey?: string | undefined;
    connectionString?: string | undefined;
    credential?: TokenCredential;
    endpoint?: string | undefined;
    createContainer?: boolean;
    allowAnonymousRead?: boolean;
}
declare class AzureBlobCertCache implements LockingCertCache, ListableCertCache {
    #private;
    constructor(container: BlobContainerClient, options?: AzureBlobCertCacheOptions);
    static connect(options: AzureConnectOptions): Promise<AzureBlobCertCache>;
    get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined>;
    put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void>;
    delete(key: string, options?: CacheOperationOptions): Promise<void>;
    tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined>;
    list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry, void, undefined>;
}
declare class DirCertCache implements LockingCertCache, ListableCertCache {
    #private;
    constructor(path: string);
    get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined>;
    put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void>;
    delete(key: string, options?: CacheOperationOptions): Promise<void>;
    list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry, void, undefined>;
    tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined>;
}
export { AzureBlobCertCache, CacheKeyError, CacheOperationOptions, CertCache, CertCacheEntry, CertCacheError, CertCacheLock, CertManager, Certificate, ClosedError, DeadlineError, DirCertCache, EncryptedCertCache, HostError, IssuanceError, ListableCertCache, LockLostError, LockingCertCache, LruCertCache, StoreError };
export type { AcmeOptions, AcmeProblem, AnsweredChallenge, AzureBlobCertCacheOptions, AzureConnectOptions, BlobContainerClient, CertManagerEvents, CertManagerOptions, CertificateEvent, CertificateSource, ChallengeType, Clock, EncryptedCertCacheOptions, EncryptionKey, EncryptionKeys, GetOrPutOptions, HostErrorCode, HostPolicy, HostPolicyOccasion, HostStatus, HttpFallback, HttpHandler, HttpHandlerOptions, IssuanceErrorCode, KeyType, LruCertCacheOptions, Produce, StoreErrorCode, StoreOperation, TlsCallbackOptions, TlsCallbacks, TokenCredential };
