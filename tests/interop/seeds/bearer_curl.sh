curl -H "Authorization: Bearer YOUR_TOKEN" \
https://activate.parallel.works/api/auth/session
