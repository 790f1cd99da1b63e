// Locks of holders that live for more than a minute, and of those that die. They wait beside each other.
import { describe } from 'vitest'
import { azureBlob, dir, keepsContract, memory } from './backends.js'

describe.concurrent('locks', () => {
  keepsContract('AzureBlobCertCache', azureBlob, 'slow')
  keepsContract('DirCertCache', dir, 'slow')
  keepsContract('MemoryCertCache', memory, 'slow')
})
