# Option 1: Let cURL handle encoding
curl -u "YOUR_API_KEY:" \
https://activate.parallel.works/api/auth/session
# Option 2: Manual encoding
curl -H "Authorization: Basic $(echo -n 'YOUR_API_KEY:' | base64)" \
https://activate.parallel.works/api/auth/session
