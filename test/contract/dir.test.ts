import { dir, keepsContract } from './backends.js'

keepsContract('DirCertCache', dir, 'quick')
