export { S3CertCache, type S3CertCacheOptions, type ServerSideEncryption } from './s3-cert-cache.js'
export type { S3ClientLike } from './s3-objects.js'
