import { createPrivateKey, X509Certificate } from 'node:crypto'
import { decodeBundle } from '../../src/certificates/certificate-bundle.js'

// Certificates and keys made for these tests and used nowhere else, valid from 2026 to 2125. They are fixed, so that a
// seed leads to the same inputs in every run.

/** A time at which they are valid. */
export const now: number = Date.parse('2026-10-01T00:00:00Z')

function fixture(pem: string) {
  const data = Buffer.from(pem)
  const bundle = decodeBundle(data)
  if ('fault' in bundle) throw new Error(bundle.fault)
  const { serialNumber } = new X509Certificate(bundle.chain)
  return { data, chain: bundle.chain, key: createPrivateKey(bundle.key), serialNumber }
}

/** For example.com, with a P-256 key. */
export const ecdsa = fixture(`-----BEGIN EC PRIVATE KEY-----
MHcCAQEEINcssxrdcFclqu9eGPYD9We71wuJuI3eB0oFpmpxCh3xoAoGCCqGSM49
AwEHoUQDQgAEpGpENHbn+VQH7eshYFMKGfkyX7z+6oPB0/bCwdkV8CaBgkiHJtsj
KACNL9r+SpRm2vVR7PGQZ3IvXS+BqZy5Bw==
-----END EC PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBRDCB7KADAgECAhAQbJJGhFLtMpmEpZE66v8YMAoGCCqGSM49BAMCMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMCAXDTI2MDEwMTAwMDAwMFoYDzIxMjYwMTAxMDAw
MDAwWjAWMRQwEgYDVQQDEwtleGFtcGxlLmNvbTBZMBMGByqGSM49AgEGCCqGSM49
AwEHA0IABKRqRDR25/lUB+3rIWBTChn5Ml+8/uqDwdP2wsHZFfAmgYJIhybbIygA
jS/a/kqUZtr1UezxkGdyL10vgamcuQejGjAYMBYGA1UdEQQPMA2CC2V4YW1wbGUu
Y29tMAoGCCqGSM49BAMCA0cAMEQCIGpb03woVr885/X6DOuIjL0p953xe9fRsly0
OJk057EhAiB+LNoTA6wJZyKCHmYKVxU9XaF8NE+rUPMQDAu5gIfeSQ==
-----END CERTIFICATE-----
`)

/** For example.com, with an RSA key. */
export const rsa = fixture(`-----BEGIN RSA PRIVATE KEY-----
MIIEpAIBAAKCAQEAtnX8EELKSq9inFxwFjoIKbyjclZn0ARIaTi0UIDcJBjKmH0e
1QXvB1DSnaXif5IeOspSjxwQv6g8RPTB5ca0jbfL6L/qSKm1d4NtdJ4oeRhaEPWZ
wqtOygFa6Wy3UwMVkSJrXbLjz9vbtHEHC0F3WydGLFscZhq5wDtNGeC48yxieRE2
q+qKis7i1rrKgR8HEmPrLx9Pc39/hZedaikaGlFcivO8qX1t2Wf+rp9X91seucFb
lQjXQRl9kjpDQhTUyBwVsX51XZbAnTvVEu1Kvg07s9EeZGQqFsDY8LQr7lfcGGux
bm9XJ4CwMeJww2kqFx2ARd8q6FD1l0mU/3XWtwIDAQABAoIBAAgfBkIfBuv+FHCL
OL30hUp+R/Qd3m8G0cZFLNlsct/0bogNAaNPqUz1DvrPWF5/PXM2cChIgoJVVaFo
F31Hs9+e76eDa0UisJ4KLoQDSh/hspiQpfBhOZeKKea73QkH2RzloEvCW5tz2LqW
UU7x8gMPo3Lz9zagN+ZTfWIKe5DvNIRw6X9Q5raCYicmOuEaiw2k0IpKWnD7HAr4
An4dmriacmdtwPsVDavSZ+qcvZ9TfijpNCtNxj86RVkPhlsY17o1K8HmTp3zoqPK
iF/JxdhXEXrPWl60yWubmrPEhXhZSRayYKXKTzBxLMOlPVNiBaFZLExhppEFkKfA
yqmuYKkCgYEA6HzOwaig5Cy9zwfgIMRF+GHTIGiWQp8eDSWCu0/MooJiO0P1e0PN
C16YJrKYvDfumtXWLlwuxjgpths7MASnjxZ/qa3xwZvcYtF6IK2ILnXl3sQl21Xd
V2DPh6Y1kL4dXmZa16Qbmmey3zxtA3l7jpOQQNZiLIbarTVGnBArCtsCgYEAyOn3
sJUzLi+h6c+yuqV3XXuoNU8DgDTeriJK/dMXJmVeaSoxj1f+xvo8E5Knis3OgIUa
vH3szJSx8dMRu1YSBAs5bh0rl7z3e/LLm3GUtZdSeD2dpKRozC6GTybueyq4kNRA
eZbQn6JfOAGoPkgkdQq4uH9gprxfDeflcrTAdFUCgYALTG176ecPz8DVu+s/jGpe
HNr22z5aNINwXh9RXRpz12RQvwfCGtRvNgSs9McJdqpo6fWDwUUgqwAT8pTYy5Ed
GhnQNDzojNuUDdwilGxm3aHzRpMUasLcCT9stz4pL6Qbv1uw2S/iPCHsSXJ+1buU
fUVocULKKS+ddVZeJUcCOwKBgQCs5y0R+lShWrysyuG1XtDq0pBf0C/jFZzNnxWK
ey9hC7vEJVuhUMkh1Bf/gCZPfe5JDEOGE5jGNvEse8i2v8uhT0eNS+1IGIejU7+F
dqnT3PZMJDqWhibqEN/lHkv+EzXi7cbO3MuNld78A/EWKF+3mhJ+NKCo3VOwU/FS
VduKQQKBgQC7g7HpCimITKPyEGBmoRsFab5c7WfWFbGRz2K5TCpeY/Yvz7u0kcpN
r/SVZHcHiRaGiZC8u6OqW+8cmAnzdAt2vu2Z+e+jb7bg4vbOUendx/LvVups7E1t
NxyYD2jd1k/K0W+X3/chKn5j7BsRhBQMnGy25tjaPpn86zPHLg+RrQ==
-----END RSA PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIC0zCCAbugAwIBAgIRAMaSZFHvV7wYZTHpOtcEs0wwDQYJKoZIhvcNAQELBQAw
FjEUMBIGA1UEAxMLZXhhbXBsZS5jb20wIBcNMjYwMTAxMDAwMDAwWhgPMjEyNjAx
MDEwMDAwMDBaMBYxFDASBgNVBAMTC2V4YW1wbGUuY29tMIIBIjANBgkqhkiG9w0B
AQEFAAOCAQ8AMIIBCgKCAQEAtnX8EELKSq9inFxwFjoIKbyjclZn0ARIaTi0UIDc
JBjKmH0e1QXvB1DSnaXif5IeOspSjxwQv6g8RPTB5ca0jbfL6L/qSKm1d4NtdJ4o
eRhaEPWZwqtOygFa6Wy3UwMVkSJrXbLjz9vbtHEHC0F3WydGLFscZhq5wDtNGeC4
8yxieRE2q+qKis7i1rrKgR8HEmPrLx9Pc39/hZedaikaGlFcivO8qX1t2Wf+rp9X
91seucFblQjXQRl9kjpDQhTUyBwVsX51XZbAnTvVEu1Kvg07s9EeZGQqFsDY8LQr
7lfcGGuxbm9XJ4CwMeJww2kqFx2ARd8q6FD1l0mU/3XWtwIDAQABoxowGDAWBgNV
HREEDzANggtleGFtcGxlLmNvbTANBgkqhkiG9w0BAQsFAAOCAQEARCdh72WJWPJJ
3mLtS/byJwLWFWrJwLHiIYOIVOBTeLfp1ICJjG9euBG4UFl5idrGKG6ekWrC93zx
5TCe8YxDNp12p5P1pziQ6HbuplgpkMqI7uqKUxjFkez9OKq89VYQuc4/1mPNqzuc
p3hQL6+PlwssyaCc+QBCrULVHg8PPaLVzyIEwbl8oOk/w9wl9iS6mMkbx9gs7APU
j4QtgB5WxDbqqe1J+cAMNerT9aDYvUP42MFiiRyz0B5exFjyar9nBmcNXpg2Ya9N
fVJ7c5gzr2JSpX2nGX6V8+R87q4v0cHXxpu+QLQGmjwDOXS4qVV9uPke8T0+yptH
Spjd7rUKXg==
-----END CERTIFICATE-----
`)

/** For other.example, with a P-256 key. */
export const other = fixture(`-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIJaBRvE5jK3KTXJgW1rnrslug1CA0WUVWPMf9sDHIvtMoAoGCCqGSM49
AwEHoUQDQgAEfd3+2eDbTwcJLKotWztlbpeVfiw6OmPTuQMVp16mRWKyD8aAsGEE
6DHMjG+tnt/AkCVD6QYw7NDNNmLeRvZMqQ==
-----END EC PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBSzCB86ADAgECAhEAgSGigPrA+cZfQUWZezvCRDAKBggqhkjOPQQDAjAYMRYw
FAYDVQQDEw1vdGhlci5leGFtcGxlMCAXDTI2MDEwMTAwMDAwMFoYDzIxMjYwMTAx
MDAwMDAwWjAYMRYwFAYDVQQDEw1vdGhlci5leGFtcGxlMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEfd3+2eDbTwcJLKotWztlbpeVfiw6OmPTuQMVp16mRWKyD8aA
sGEE6DHMjG+tnt/AkCVD6QYw7NDNNmLeRvZMqaMcMBowGAYDVR0RBBEwD4INb3Ro
ZXIuZXhhbXBsZTAKBggqhkjOPQQDAgNHADBEAiAy8O3zMxpQPUlZPlTtXValCutt
a8M4nZAw1USuuXHO7QIgAzG/imidD+jJQJhiwvR0m8YLGRr8IYKb9FxlJEEAkDw=
-----END CERTIFICATE-----
`)

/** A P-256 key without a certificate. */
export const spareKey = createPrivateKey(`-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIGjPXbvMCMfNDrnEQZWTfomBONpoWKApTjCQgv0rTCKsoAoGCCqGSM49
AwEHoUQDQgAEZ4411tYYHFvYRdHIlTAH426Id7cdet1HoFZZ7UqaqdylIUZ/H7kL
QmBwvgGGrZbc9Md7GXYMcJ4nQeENiF/NAQ==
-----END EC PRIVATE KEY-----
`)
