export type { S3ClientLike } from './objects.js'
export { S3CertCache, type S3CertCacheOptions, type ServerSideEncryption } from './s3-cert-cache.js'
