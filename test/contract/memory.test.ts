import { keepsContract, memory } from './backends.js'

keepsContract('MemoryCertCache', memory, 'quick')
