import { azureBlob, keepsContract } from './backends.js'

keepsContract('AzureBlobCertCache', azureBlob, 'quick')
