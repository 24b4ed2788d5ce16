/* vault/test_keys.h: keys and certificates for tests; all of them are public knowledge */
#ifndef VAULT_TEST_KEYS_H
#define VAULT_TEST_KEYS_H

/* RFC 7515 appendix A.2 */
static const char key_rsa[] = "-----BEGIN PRIVATE KEY-----\n"
			      "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCh+BYK4uPJtGXO\n"
			      "jS1lYmM2K5J9vinh8CR3/BYlzJChNuOL2TSXxbbqY913EeZ8dCn5VrD7io8ImtxL\n"
			      "aYk8wTM/U+3QGbh3hCUv7JFP5IV3aVlL6kKA0ywPVb9ilE8TA5a8bpvfbr3SvaNn\n"
			      "juygxmj3AbONv/s4yDQs4v5tJ/reSlpIdJed1LnPmt7Ex1sFhSwsD174pcF1A5L5\n"
			      "ROjtZMEQxrZHYJqkeDrrnGya11UxMFBji4NmXG9veoKjlnAqH2QbgtPr8jkiGUkf\n"
			      "toaHLFcW9Qr4NY2ai50Xw0Byj3+H2JoY2PyrZ62EWQwuz3WTOTY8BwNNb2BvniHg\n"
			      "VFbK5emhAgMBAAECggEAEq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyW\n"
			      "PEAeP88vLNO97IjlA7/GQ5sLKMgvfTeXZx9SE+7YwVol2NXOoAJe46sui395IW/G\n"
			      "O+pWJ1O0BkTGoVEn2bKVRUCgu+GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzj\n"
			      "kn439X0M/V51gfpRLI9JYanrC4D4qAdGcopV/0ZHHzQlBjudU2QvXt4ehNYTCBr6\n"
			      "XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl/x/jTj3ccPDVZFD9pIuhLhBOneufuBiB\n"
			      "4cS98l2SR/RQyGWSeWjnczT0QU91p1DhOVRuOopznQKBgQDgHMQQ60imZV1URk0K\n"
			      "pLttoLhyt3SmqdEf/kgHePDdtzEafpAu+cS191R2JiuoF2yzWXnwFDcqGigp5BNr\n"
			      "0AHQfD8/Lk8l1Mk09jxxCfui5nYooNyac8YFjm3vItzVCVDnEd3BbVWG8qf6deqE\n"
			      "lMGAg+C2V0L4oNXnP7LZcPAZRwKBgQC5A8R+CZW2MvRTLLHzwZkUXV866cff7tx6\n"
			      "kqa0finGG0KgeqlaZPxgCZnFp7AeAcCMtiynVlJ7vMVgePsLq6XtON4tB5kP9jAP\n"
			      "rq3rbAOal78eUH5OcED6eNuCV8ixEu1eWcPNCS/l1OW1EnXUEoEHKl54Xrrz2uNw\n"
			      "kgMTP1FZ1wKBgAcCn1dwJKufzBWQxWQp1vsM5fggqPN1qGb5y0MAk3g7/Ls5bkUp\n"
			      "5u9SN0Ai3Ya6hNnvWJMb7sXQX6U/zyO2M/hTip7tUeh7CXgwo59dkpN75gJLVds2\n"
			      "9+DAncu3KXU4f2Fa+7bLNrur53k8KwPOq2bbuTG69QtV7Jr5MR0AHWKNAoGBAIf/\n"
			      "evpitUf+4JYbLpvNXWcY052Mpz22aR84mY3nh3F2LF2mjMJDpTg7FmuyPcVw6EcG\n"
			      "yoAe9fa65iNqCq+jdw6PVNGo2hxfjSiZ8IIzHdsPXI89//pMjZcQK9r+CCoRjaZj\n"
			      "OYiIDktVWZzmevJuv6WywUqd57LE3Zar3dLSIkx1AoGAIYd7DHOhrWvxkwPQsRM2\n"
			      "tOgrjbcrfvtQJipd+DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd/QJQ3\n"
			      "ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp/gh6A56\n"
			      "03k2+ZQwVK0JKSHuLFkuQ3U=\n"
			      "-----END PRIVATE KEY-----\n";

/* RFC 7515 appendix A.3 */
static const char key_ec[] = "-----BEGIN PRIVATE KEY-----\n"
			     "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff\n"
			     "H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp\n"
			     "7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt\n"
			     "-----END PRIVATE KEY-----\n";

/* 1024 bits */
static const char key_rsa_small[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBAM0g4XKR3o+yyugr\n"
	"QB5Qgh7/ZC685b6MPNOxut2yc82/XHFMnKlZOM95YYSMaPDpt5LJi7GjudeE9rzE\n"
	"kIDOEZZiK/L9E55crLLfT+2xnkRLqn0gxHdqQiVQFn3eAwL0dSxWsJBhhQHbHbhP\n"
	"sBK1bSTkGFZHK4HED7Ybirmv5WlnAgMBAAECgYBE7Mh0G8mB1VzSmD3KMdkXG0+J\n"
	"WNWFqk+B/lVAywaYWrVwKIL3cFBjfnCi/h8A3DdfrjMvNElsvnO9x/qaHSPRHxXt\n"
	"Npom5THCSyFnOehjur5EVnU24C/prwf256fQPMB1eqexcEEOVbOnpC5yHZvbmGw4\n"
	"Lndbrt97hYBdO6YosQJBAOhREkA4ThswmbPWM0AOdSXS/MZONnBQ4ScSEBxjaDZz\n"
	"6TTgKyjmjEVDH2vHU5VhbM+WxZv2oT7PkZ2OtU9FSC8CQQDiCkJNbJynLMv0wkcG\n"
	"OuoAKhMgJKb1y3BrE37uaEH//lR5xNDHXCFc9b/29kNokIMZul7qkdG9+tztWxd0\n"
	"UGxJAkAxGWlND1lan8PsYToFsMiLjPMFimQxCrb7RfMHvO66i3bfSP12MHu267/J\n"
	"TKBasvOHUCtFkjN0DfSNoyqorVDbAkAW8ImYB+zB/obYWRsSI8p5p8t3GKElErde\n"
	"9oSMN2JzU2FJVlMF2HC+WWZY7tcadogHhWV6kr/hcuMW54ay1DKZAkEA6CFRjk+e\n"
	"I+rRCVwHWVVTet8UNEFjKojY4meKTAGRA1krme4+gIFVYtNX2OWnB9GH8i31Ked0\n"
	"qSMHqZggdnoncA==\n"
	"-----END PRIVATE KEY-----\n";

/* of another curve */
static const char key_p384[] = "-----BEGIN PRIVATE KEY-----\n"
			       "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDD5z+KlqjkUPkdlE6FF\n"
			       "Ga+w4v6BYTyfOwZfrvQdkHIGCDhnc8gMH6KR+znDt1/UGiqhZANiAARhsund7D9u\n"
			       "AoCOo1a+kjbw9SgRVSRSRQ4wzjVDfkxNENmwD19qpZOvXT6O3rwa8FHBYo2NEMAY\n"
			       "HcX16FutQQCu49Bv4OVqRs7gVHgqmV2/M0Kzd8697iPwwKLv+XzdEQ0=\n"
			       "-----END PRIVATE KEY-----\n";

/* under a passphrase */
static const char key_encrypted[] =
	"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
	"MIH0MF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBABVqSpJpo0STXEormj\n"
	"pm04AgIIADAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQE8pFbo1hSd0cqsJz\n"
	"/SDdCgSBkKfq9nz1kzT10OAl+0/m4kd+0hYTD1M3L9acUWKp0tcztcodC5RwWZpl\n"
	"qXzaolmefzGsLkYuYu5SSPRtdeJHmXmfOvVwvlMhMhsWIsS62X3H+nbMj5TwZ+VR\n"
	"kqPoidI6QoS3Whgel+I5oBPcSzOmP91Dx4iXnA3a1O7LqLJJrHX7DKb0QtB+YPIa\n"
	"g0xWyGzQ2w==\n"
	"-----END ENCRYPTED PRIVATE KEY-----\n";

/* of key_rsa, self-signed */
static const char cert_rsa[] = "-----BEGIN CERTIFICATE-----\n"
			       "MIICnTCCAYWgAwIBAgIBBzANBgkqhkiG9w0BAQsFADARMQ8wDQYDVQQDDAZjbGll\n"
			       "bnQwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBExDzANBgNVBAMM\n"
			       "BmNsaWVudDCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAKH4Fgri48m0\n"
			       "Zc6NLWViYzYrkn2+KeHwJHf8FiXMkKE244vZNJfFtupj3XcR5nx0KflWsPuKjwia\n"
			       "3EtpiTzBMz9T7dAZuHeEJS/skU/khXdpWUvqQoDTLA9Vv2KUTxMDlrxum99uvdK9\n"
			       "o2eO7KDGaPcBs42/+zjINCzi/m0n+t5KWkh0l53Uuc+a3sTHWwWFLCwPXvilwXUD\n"
			       "kvlE6O1kwRDGtkdgmqR4OuucbJrXVTEwUGOLg2Zcb296gqOWcCofZBuC0+vyOSIZ\n"
			       "SR+2hocsVxb1Cvg1jZqLnRfDQHKPf4fYmhjY/KtnrYRZDC7PdZM5NjwHA01vYG+e\n"
			       "IeBUVsrl6aECAwEAATANBgkqhkiG9w0BAQsFAAOCAQEAXhatUhYtdltKegbmTFEy\n"
			       "erDWtryOm/Fcbsi1vvh6ehpFTDPVFFc5hJMyoU0TiAZrsZkIQMH8BDq8VT914Ppw\n"
			       "fjPoStN2YMFh6ShGwgoRKCTt/32SGAQY/w2BR5mXIDunAjGvaBSEhTM0p7xYpbYc\n"
			       "dVg8xDwUlk7lrx9xJinGADG8juc60z/GKxECZiqjA3xAQUZTOSk0+irNR2EPwqo1\n"
			       "DJJITATb/wNbLjD6lew+Y3LRyTSo+JwBRPFa3GmCyL1TBe6jcN09n7Azt3Fm5GSB\n"
			       "6VAu/6GwqH5BdGQubTDGFtTy4unEyHqwcCajScP8TRrpqYko8ruZEOYSVsE3TY3W\n"
			       "ig==\n"
			       "-----END CERTIFICATE-----\n";

/* of key_ec, self-signed */
static const char cert_ec[] = "-----BEGIN CERTIFICATE-----\n"
			      "MIIBEDCBt6ADAgECAgEHMAoGCCqGSM49BAMCMBExDzANBgNVBAMMBmNsaWVudDAg\n"
			      "Fw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowETEPMA0GA1UEAwwGY2xp\n"
			      "ZW50MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gH\n"
			      "MzV76e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrTAK\n"
			      "BggqhkjOPQQDAgNIADBFAiEA2YG3HxkOFg1J7IIj0O6YR+XskDNiuJyHt3LZYtgf\n"
			      "oCICIBuMOfVZuOgps0ADLf1iLEkt/cFhqGpWN8kLmjxOJtBM\n"
			      "-----END CERTIFICATE-----\n";

/* Of cert_ec, as a JWT's header names it. */
#define CERT_EC_X5T "Lwu99Wc9bEAl5MFS9vB9d9FV7HI"
#define CERT_EC_X5T_S256 "gYiM7HWghEZQolL0H0VvBQS4ViLlZmT883L_1XEJS_w"

#endif
