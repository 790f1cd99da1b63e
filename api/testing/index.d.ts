import { CertCache, LockingCertCache, ListableCertCache, CacheOperationOptions, CertCacheEntry, CertCacheLock } from "../index.js";
interface ServerCertificate {
    readonly certificate: string;
    readonly privateKey: string;
}
interface SignedLeaf {
    readonly serialNumber: string;
    readonly notBefore: number;
    readonly notAfter: number;
    readonly pem: string;
}
interface IssuedCertificate extends SignedLeaf {
    readonly hosts: readonly string[];
}
interface RenewalWindow {
    readonly start: number;
    readonly end: number;
}
declare function selfSignedCertificate(hosts?: readonly string[]): Promise<ServerCertificate>;
declare const endpoints: readonly [
    "directory",
    "terms",
    "newNonce",
    "newAccount",
    "account",
    "orders",
    "newOrder",
    "order",
    "finalize",
    "authz",
    "challenge",
    "certificate",
    "renewalInfo"
];
type Endpoint = (typeof endpoints)[number];
interface Subproblem {
    readonly type: string;
    readonly detail?: string;
    readonly host?: string;
}
interface Fault {
    readonly on: Endpoint;
    readonly times?: number;
    readonly host?: string;
    readonly status?: number;
    readonly type?: string;
    readonly detail?: string;
    readonly retryAfter?: number | string;
    readonly delayMs?: number;
    readonly body?: string;
    readonly contentType?: string;
    readonly location?: string;
    readonly relativeUrls?: boolean;
    readonly subproblems?: readonly Subproblem[];
    readonly hang?: boolean;
    readonly breakOff?: "stall" | "end" | "reset";
    readonly invalid?: true;
    readonly authorizationStaysPending?: boolean;
}
interface ActiveFault {
    readonly hits: number;
    remove(): void;
}
type ChallengeType = "http-01" | "tls-alpn-01";
interface TestCaSettings {
    httpPort: number;
    tlsPort: number;
    challengeTypes: readonly ChallengeType[];
    lifetimeMs: number;
    badNonceRate: number;
    validationDelayMs: number;
    validationTimeoutMs: number;
    issuanceDelayMs: number;
    retryAfter: number | undefined;
    renewalInfo: boolean;
    renewalRetryAfter: number;
    profiles: Readonly<Record<string, string>> | undefined;
}
interface TestCaOptions extends Partial<TestCaSettings> {
    readonly port?: number;
    readonly now?: () => number;
    readonly externalAccounts?: Readonly<Record<string, string>>;
}
interface TestCaCounts {
    readonly accounts: number;
    readonly orders: number;
    readonly authorizations: number;
    readonly validations: number;
    readonly certificates: number;
    readonly renewalInfos: number;
    readonly requests: number;
}
interface TestCaOrder {
    readonly hosts: readonly string[];
    readonly status: "pending" | "ready" | "processing" | "valid" | "invalid";
    readonly profile: string | undefined;
    readonly replaces: string | undefined;
}
interface TestCaAuthorization {
    readonly host: string;
    readonly status: "pending" | "valid" | "invalid" | "deactivated" | "expired";
}
declare class TestCa implements TestCaSettings, AsyncDisposable {
    #private;
    httpPort: number;
    tlsPort: number;
    challengeTypes: readonly ChallengeType[];
    lifetimeMs: number;
    badNonceRate: number;
    validationDelayMs: number;
    validationTimeoutMs: number;
    issuanceDelayMs: number;
    retryAfter: number | undefined;
    renewalInfo: boolean;
    renewalRetryAfter: number;
    profiles: Readonly<Record<string, string>> | undefined;
    readonly directoryUrl: string;
    readonly endpointCertificate: string;
    readonly rootCertificate: string;
    static start(options?: TestCaOptions): Promise<TestCa>;
    private constructor();
    get counts(): TestCaCounts;
    ordersFor(host: string): number;
    get orders(): readonly TestCaOrder[];
    get authorizations(): readonly TestCaAuthorization[];
    get issued(): readonly IssuedCertificate[];
    fault(fault: Fault): ActiveFault;
    suggestRenewal(serialNumber: string, window: RenewalWindow): void;
    close(): Promise<void>;
    [Symbol.asyncDispose](): Promise<void>;
}
type ContractPart = "locks" | "list" | "cutOff";
interface ContractPlace {
    readonly store: CertCache;
    peer(): Promise<CertCache>;
    cutOff?(): void | Promise<void>;
    mend?(): void | Promise<void>;
    close(): Promise<void>;
}
interface ContractBackend {
    open(): Promise<ContractPlace>;
    readonly without?: readonly ContractPart[];
}
interface ContractCase {
    readonly name: string;
    readonly timeoutMs: number;
    run(): Promise<void>;
}
declare function certCacheContract(backend: ContractBackend): readonly ContractCase[];
declare class MemoryCertCache implements LockingCertCache, ListableCertCache {
    #private;
    peer(): MemoryCertCache;
    cutOff(): void;
    mend(): void;
    get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined>;
    put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void>;
    delete(key: string, options?: CacheOperationOptions): Promise<void>;
    list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry, void, undefined>;
    tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined>;
}
export { MemoryCertCache, TestCa, certCacheContract, selfSignedCertificate };
export type { ActiveFault, ChallengeType, ContractBackend, ContractCase, ContractPart, ContractPlace, Endpoint, Fault, IssuedCertificate, RenewalWindow, ServerCertificate, SignedLeaf, Subproblem, TestCaAuthorization, TestCaCounts, TestCaOptions, TestCaOrder, TestCaSettings };
